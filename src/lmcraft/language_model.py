"""A model and its tokenizer together: what a script, a command or a server holds."""



