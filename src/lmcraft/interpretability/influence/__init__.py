"""Which training documents taught a model a text: the influence of each document of a run on the loss of the text.

training_run       what the run of a model folder did, step by step: rows, their documents, learning rates
step               an optimizer step as a function of documents' weights, differentiable, in float64
replay             influence by going back through all steps of the run (MAGIC, arXiv 2504.16430)
metasmoothness     how far a derivative can be trusted for documents that are left out (arXiv 2503.13751)
search             the most influential documents by each method, with the check by retraining
"""
