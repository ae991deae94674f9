"""``python -m textgen``, for where the command is not on the path."""

from textgen.cli import main

main()
