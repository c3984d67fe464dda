"""Conversations with a model in the terminal.

session        a conversation with its model, settings and file, and how answers are shown
commands       the commands that begin with a slash
tree           messages as a tree of branches, and the protocol of the backends that answer them
local          a backend that loads the model into this process
remote         a backend that sends requests to `lmcraft serve` or another OpenAI-compatible server
kept           conversations kept in the user's data folder
entry          the line that the user types
keyboard       Ctrl-C and other keys while an answer is written
answer_view    an answer as it appears on a terminal
markdown       Markdown drawn with rich
growing_lines  the last lines on the screen, which are drawn again as they change
"""
