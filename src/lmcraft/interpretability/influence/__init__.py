"""Which training documents taught a model a text: the influence of each document of a run on the loss of the text.

documents          the training documents by number: tokens, text, source file
training_run       what the run of a model folder did, step by step: rows, their documents, learning rates
step               an optimizer step as a function of documents' weights, differentiable, in float64
replay             influence by going back through all steps of the run (MAGIC, arXiv 2504.16430)
gradients          inputs and output gradients of the linear layers, document by document
ekfac              influence by an approximation of the Fisher information (EK-FAC, arXiv 2308.03296)
cosine             cosine of a document's gradient with the text's
metasmoothness     how far a derivative can be trusted for documents that are left out (arXiv 2503.13751)
search             the most influential documents by each method, with the check by retraining
"""
