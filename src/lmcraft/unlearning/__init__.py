"""Makes a trained model forget documents, and proves it beside a model that never read them: `lmcraft forget`."""
