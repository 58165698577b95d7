"""Who watches a run: `Terminal` draws, `LogLines` logs, `Summary` tells at the end."""
