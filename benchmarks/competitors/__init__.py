"""The jobs as a good user of something else writes them. Nothing here imports the engine.

    python -m benchmarks.competitors.NAME JOB SOURCE OUTPUT [--workers N]

| job | of each line of the source | answer |
|---|---|---|
| hits | the path, without its query | path, number of lines |
| words | the words between blanks | word, number |
| status | hour and status | hour, status, number of lines |
| sections | the first name in the path, and the address | section, number of different addresses |
| top | status and path | status, its ten paths with the most hits, ties by path, as [path, hits] |
| sessions | address and time | address, number of sessions (30 minutes of silence end one), number of lines |
| index | the document's number, and its words | word, ascending numbers of the documents that have it |
| sort | itself | the lines in ascending order, bytewise |

A line of a log counts only if its request, what stands between the first two quotes, has a second word; for
sessions, if its time is whole. All others are left out. Answers are JSON lines with their fields in this
order, in one file or in several; of sort, lines of text, in files that follow one another by name.
"""
