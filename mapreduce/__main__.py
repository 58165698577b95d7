"""`python -m mapreduce`."""

from mapreduce.cli import main

if __name__ == "__main__":
    main()
