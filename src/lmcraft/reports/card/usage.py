"""How to use a model: commands and code for its kind. Each piece runs in the model's folder; tests run them."""

from lmcraft.reports.card.markdown import paragraphs
from lmcraft.reports.evidence import Evidence

PROMPT = "Once upon a time"
QUESTION = "What is a language model?"

CONTINUE = f'''\
```python
import lmcraft

model = lmcraft.load(".")
print(model.complete("{PROMPT}", max_new_tokens=50))
```'''
CHAT = f'''\
```python
import lmcraft

model = lmcraft.load(".")
prompt = model.tokenizer.apply_chat_template([{{"role": "user", "content": "{QUESTION}"}}])
print(model.complete(prompt, max_new_tokens=100))
```'''
TRANSFORMERS = f'''\
```python
from transformers import pipeline

generate = pipeline("text-generation", model=".")
print(generate("{PROMPT}", max_new_tokens=50)[0]["generated_text"])
```'''
TRANSFORMERS_CHAT = f'''\
```python
from transformers import pipeline

generate = pipeline("text-generation", model=".")
messages = [{{"role": "user", "content": "{QUESTION}"}}]
print(generate(messages, max_new_tokens=100)[0]["generated_text"][-1]["content"])
```'''
TRANSFORMERS_CLASSIFY = """\
```python
from transformers import pipeline

classify = pipeline("text-classification", model=".")
print(classify("A text to label."))
```"""
TRANSFORMERS_SCORE = """\
```python
from transformers import pipeline

score = pipeline("text-classification", model=".", function_to_apply="none")
print(score("An answer to score."))
```"""
PEFT_SCORE = """\
```python
import torch
from peft import AutoPeftModelForSequenceClassification
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
model = AutoPeftModelForSequenceClassification.from_pretrained(".", num_labels=1)
with torch.no_grad():
    print(model(**tokenizer("An answer to score.", return_tensors="pt")).logits.item())
```"""
PEFT = f'''\
```python
from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
model = AutoPeftModelForCausalLM.from_pretrained(".")
inputs = tokenizer("{PROMPT}", return_tensors="pt")
output = model.generate(input_ids=inputs["input_ids"], max_new_tokens=50)
print(tokenizer.decode(output[0], skip_special_tokens=True))
```'''
PEFT_CHAT = f'''\
```python
from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
model = AutoPeftModelForCausalLM.from_pretrained(".")
messages = [{{"role": "user", "content": "{QUESTION}"}}]
prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
inputs = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")
output = model.generate(input_ids=inputs["input_ids"], max_new_tokens=100)
print(tokenizer.decode(output[0], skip_special_tokens=True))
```'''
CLASSIFY = """\
```bash
lmcraft classify . "A text to label."
```"""


def usage(evidence: Evidence) -> str:
    """The section on how to use a model."""
    address = "Run these in this folder; elsewhere, write its path or its repository in place of the dot."
    architecture = evidence.architecture
    is_portable = architecture is not None and architecture.is_portable
    if evidence.kind == "reward":
        return paragraphs(address, PEFT_SCORE if evidence.is_adapter else TRANSFORMERS_SCORE)
    if evidence.kind == "text-classification":
        foreign = TRANSFORMERS_CLASSIFY if is_portable and not evidence.is_adapter else ""
        return paragraphs(address, CLASSIFY, *(["With transformers:", foreign] if foreign else []))
    chats = architecture is not None and architecture.has_chat_template
    command = f'```bash\nlmcraft {"chat ." if chats else f"""generate . "{PROMPT}" """.rstrip()}\n```'
    parts = [address, command, CHAT if chats else CONTINUE]
    if not is_portable:
        return paragraphs(*parts, "Only lmcraft opens it: no class of transformers has its architecture.")
    if evidence.is_adapter:
        return paragraphs(*parts, "With PEFT, which loads the base model, too:", PEFT_CHAT if chats else PEFT)
    return paragraphs(*parts, "With transformers:", TRANSFORMERS_CHAT if chats else TRANSFORMERS)
