"""Where attempts run: in this process, or in processes of this host."""
