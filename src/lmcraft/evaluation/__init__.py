"""Evaluates models on tasks: local files in, figures with their uncertainty out.

config            `TaskSettings`, the settings that the commands share
task              `Task`: a TOML file of about ten lines and its data
data_source       where the rows come from: files, packages, generators
synthetic         tasks that generate themselves
row               a row, and the templates of its task
templates         Jinja over the columns of a row
methods           one file per kind of task
evaluated_model   the model as tasks see it
likelihood        the likelihood of many answers in few forward passes
sandbox           runs programs that a model wrote
run               `Evaluation`: order, saved results, continuing
contamination     which items the training data contain
requirements      the figures that a model must reach, for scripts and CI
calibration       the temperature of a classifier
in_training       `RunTasks`: the tasks that a run evaluates its weights on
results           the outcome of an item, and the figures of all
comparison        models compared on the same items; `compared` holds the outcome
style             how far texts are from an author's style: Burrows's Delta
speed             how fast models read and write
lm_eval           a bridge to EleutherAI's evaluation harness
catalog           the tasks that lmcraft brings, and scorecards of them
"""
