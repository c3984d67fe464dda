"""Makes a trained model forget documents, and tests it beside a model that never read them: `lmcraft forget`.

results         what was forgotten, how, and what the tests say, without torch
selection       the documents by number or text, when the run read them, and documents much like them
retraining      the exact method: the same run again, without the documents
levels          the loss that a text would have if the model had never read it
ascent          the approximate method: raise the loss of texts to that level, and keep the rest
pieces          texts as rows of tokens that fit into the model's context
proof           the tests of a model, beside the original and the retrained one
relearning      how fast a model learns the texts again
probes          questions about what was forgotten: paraphrases, several hops
exposure        whether numbers in a text are likelier than other ones
corpus          the texts to forget, unread ones to compare with, and some to keep
limits          what the tests do not prove
forgetting      a model folder without the documents, by either method, and its tests
"""
