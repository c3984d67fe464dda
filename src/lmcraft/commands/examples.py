"""What `lmcraft --help` and the help of each command show to copy. No line is wider than a terminal of 80 columns."""

FIRST_STEPS = """\
lmcraft quickstart               # text -> tokenizer -> model: five minutes
lmcraft prepare my-texts/ --out datasets/mine              # your own text
lmcraft pretrain datasets/mine --time-budget 30m --out models/mine
lmcraft finetune smollm2-135m-instruct my-chats.jsonl --out models/tuned
lmcraft chat models/tuned                                # in the terminal
lmcraft serve models/tuned        # a chat page and an OpenAI-compatible API
lmcraft evaluate models/tuned --tasks my-task.toml
"""

EXAMPLES = {
    "quickstart": """\
# Train a small model on Python's standard library, in the folder quickstart
lmcraft quickstart
# Train it on your own text, a file or a folder in any language
lmcraft quickstart --text my-texts/
""",
    "doctor": """\
# What this machine has, how fast it is, and what to install
lmcraft doctor
# The same for a program
lmcraft doctor --json
""",
    "completion": """\
# Complete commands, flags and values with the Tab key, from the next shell on
lmcraft completion bash --install
# Only in this shell: in bash, then in fish
eval "$(lmcraft completion bash)"
lmcraft completion fish | source
""",
    "pull": """\
# A chat model that answers on a laptop: 93 MB -> models/SmolLM2-135M-Instruct
lmcraft pull smollm2-135m-instruct
# Any repository of the Hugging Face hub, at a revision
lmcraft pull hf:Qwen/Qwen3-0.6B@main --out models/qwen3
""",
    "prepare": """\
# A folder of texts -> a tokenizer and a dataset of tokens
lmcraft prepare my-texts/ --out datasets/mine --vocab-size 8192
# Clean, deduplicate and mix sources by a recipe; first on a sample
lmcraft prepare recipe.toml --out datasets/mix --dry-run
lmcraft prepare recipe.toml --out datasets/mix
# Answers that people rated or reviewed -> examples for finetune
lmcraft prepare --from-review reviews.sqlite --out datasets/reviewed
""",
    "scrub": """\
# Print a text without its names, addresses and numbers
lmcraft scrub letter.txt
# Replace them in JSON lines by pseudonyms that only the key turns back
lmcraft scrub mail.jsonl --out safe.jsonl \\
    --action pseudonymize --key-file my.key
lmcraft scrub safe.jsonl --restore --key-file my.key
""",
    "tokenizer train": """\
# A byte-level BPE tokenizer with 8,192 tokens
lmcraft tokenizer train my-texts/ --out tokenizers/mine --vocab-size 8192
# One token per character
lmcraft tokenizer train my-texts/ --out tokenizers/letters \\
    --tokenizer-type characters
""",
    "tokenizer inspect": """\
# The tokens of a text
lmcraft tokenizer inspect datasets/mine "Once upon a time"
# What a model's tokenizer does with a file
lmcraft tokenizer inspect models/mine < my.txt
""",
    "plan": """\
# Will it fit in memory, and how long will it take?
lmcraft plan datasets/mine --depth 8
# What it would take on a GPU that is not here
lmcraft plan datasets/mine --depth 24 --tflops 300 --watts 700
""",
    "pretrain": """\
# Train for half an hour; --depth sets sizes, learning rates and length
lmcraft pretrain datasets/mine --depth 4 --time-budget 30m --out models/mine
# Go on after an interruption, bit for bit
lmcraft pretrain models/mine/lmcraft/run.toml --resume
# Try learning rates for a few steps each, and print the best
lmcraft pretrain datasets/mine --depth 4 --find-lr
""",
    "finetune": """\
# See what the model will learn, token by token
lmcraft finetune smollm2-135m-instruct my-chats.jsonl --show-batch
# Teach it; the report compares the model before and after
lmcraft finetune smollm2-135m-instruct my-chats.jsonl --out models/tuned
# Prefer the better of two answers
lmcraft finetune smollm2-135m-instruct preferences.jsonl --objective dpo \\
    --out models/better
# A classifier from a table with the columns text and label
lmcraft finetune smollm2-135m-instruct labels.csv \\
    --objective classification --out models/intents
""",
    "scaling": """\
# Train small models, fit the law, predict and train the next size
lmcraft scaling datasets/mine --out models/scaling
# Go on, with one size more
lmcraft scaling models/scaling/scaling.toml --resume \\
    --depths 2 3 4 5 --predict 6
""",
    "search": """\
# Search the space that a file describes, with two workers
lmcraft search rates.toml --out searches/rates --workers 2
# More trials of the same search
lmcraft search --out searches/rates --resume --trials 50
# Train with the winner's settings
lmcraft pretrain searches/rates/best.toml --out models/best
""",
    "runs": """\
# A table of all runs below a folder, and the same table live
lmcraft runs models
lmcraft runs models --watch
# Their curves for TensorBoard
lmcraft runs models --export tensorboard --out events
""",
    "generate": """\
# Continue a text
lmcraft generate models/mine "Once upon a time" --temperature 0.8 --top-p 0.95
# Only what fits a JSON schema
lmcraft generate models/mine "A city:" --json-schema @city.json
# A prompt from a file, with an adapter on top of the model
lmcraft generate models/base @prompt.txt --adapter models/pirate
""",
    "chat": """\
# Chat in the terminal; /help lists what you can type
lmcraft chat smollm2-135m-instruct
lmcraft chat models/mine --system "Answer in one sentence."
# Go on with the latest conversation, or use the model of a server
lmcraft chat --continue
lmcraft chat http://127.0.0.1:8000
""",
    "classify": """\
# Label a text
lmcraft classify models/intents "will it rain tomorrow in Oslo?"
# Label each line of a file, with the probability of every label
lmcraft classify models/intents --all-labels < questions.txt
""",
    "serve": """\
# A chat page and an OpenAI-compatible API on http://127.0.0.1:8000
lmcraft serve models/mine
# A key for Ada; with 8-bit weights, for people who have keys
lmcraft serve --api-keys keys.toml --new-api-key ada
lmcraft serve models/mine --weights int8 --api-keys keys.toml
# A page of runs, live
lmcraft serve --runs models
""",
    "keys export": """\
# Everything that the server on this machine keeps of one key
lmcraft keys export ada --out ada-data
""",
    "keys erase": """\
# Erase it, for good
lmcraft keys erase ada
""",
    "evaluate": """\
# List the tasks that lmcraft brings
lmcraft evaluate --tasks list
# Measure a model on your own task; look at a hundred items first
lmcraft evaluate models/mine --tasks my-task.toml --limit 100
# Fail in CI if the model is not good enough
lmcraft evaluate models/mine --tasks my-task.toml --require my-task=0.9
""",
    "compare": """\
# One page: differences with paired intervals, ties, answers side by side
lmcraft compare models/a models/b --tasks my-task.toml --out comparisons/a-b
# Compare their answers to your prompts, too
lmcraft compare models/a models/b --prompts my-prompts.txt
""",
    "explain": """\
# One page about what the model does with a text
lmcraft explain models/mine "Once upon a time"
# Why Paris and not Rome?
lmcraft explain models/mine "The capital of France is" \\
    --target " Paris" --contrast " Rome"
# Which training documents taught it?
lmcraft explain models/mine "The quick brown fox" --views influence
""",
    "inspect": """\
# Architecture, parameters, memory, chat template, lineage, license
lmcraft inspect models/mine
# What a dataset is made of
lmcraft inspect datasets/mine
""",
    "report": """\
# Write the report and the card of a model again
lmcraft report models/mine
# Has anything changed since, down to the data?
lmcraft report models/mine --verify
""",
    "forget": """\
# Forget two documents of the training data, and prove it
lmcraft forget models/mine --document 17 41 --out models/mine-forgotten
# Forget a text that a downloaded model knows
lmcraft forget models/base --text @letter.txt --unread other-letters/
""",
    "guard init": """\
# Write the policy to a file, edit it, and serve with it
lmcraft guard init policy.toml
lmcraft serve models/mine --policy policy.toml
""",
    "guard check": """\
# Judge a text by lmcraft's policy
lmcraft guard check --text "You are a complete idiot."
# Judge a folder of training texts by your own policy
lmcraft guard check my-texts --stage training --policy policy.toml
""",
    "guard train": """\
# A classifier of harm from your own labels, as words map to categories
lmcraft guard train rows.jsonl --out ours.safetensors \\
    --labels.insult harassment --labels.ok harmless
""",
    "guard pairs": """\
# Pairs of harmless and harmful answers, then a model that prefers the former
lmcraft guard pairs models/mine prompts.jsonl --out pairs.jsonl
lmcraft finetune models/mine pairs.jsonl --objective dpo --out models/safer
""",
    "guard compare": """\
# Train every way of an experiment file, and draw harm against perplexity
lmcraft guard compare experiment.toml --out comparisons/first
""",
    "audit safety": """\
# Toxicity, harmful answers, needless refusals, gaps between groups
lmcraft audit safety models/mine
# Beside the model that it was tuned from
lmcraft audit safety models/mine --compare-with models/base
""",
    "audit privacy": """\
# Plant secrets when you train, then measure what the model gives away
lmcraft pretrain datasets/mine --out models/private \\
    --canaries 40 --dp.epsilon 8
lmcraft audit privacy models/private
""",
    "review guideline": """\
# Begin with a guideline that lmcraft brings; edit the file it writes
lmcraft review guideline reviews.sqlite harm
""",
    "review add": """\
# Prompts and answers for people to judge, then the page to judge them on
lmcraft review add reviews.sqlite answers.jsonl --guideline harm
lmcraft serve models/mine --reviews reviews.sqlite --api-keys keys.toml
""",
    "review sample": """\
# A random sample, as large as the guideline's plan says
lmcraft review sample reviews.sqlite bank.jsonl --guideline gbt45654 \\
    --stratum generated
""",
    "review status": """\
# What waits, who judged how much, and how far they agree
lmcraft review status reviews.sqlite
""",
    "review verify": """\
# Has anybody edited the store?
lmcraft review verify reviews.sqlite
# Does it still hold what was published?
lmcraft review verify reviews.sqlite --expect anchors.txt
""",
    "export": """\
# For llama.cpp, Ollama and LM Studio
lmcraft export models/mine mine.gguf --dtype q4_k_m
# An adapter and its base as one model
lmcraft export models/tuned models/merged
""",
    "quantize": """\
# 8 bits per weight, and what it costs on your text
lmcraft quantize models/mine --out models/mine-int8 --text my-texts/some.txt
# 4 bits
lmcraft quantize models/mine --out models/mine-int4 --text my.txt --bits 4
""",
}
