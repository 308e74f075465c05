"""Optimizers that torch does not have, learning rate schedules, and the parameter groups of a model's parts.

Imports `model`, `config`, `errors`. Most optimizers wrap `pytorch_optimizer`, whose classes accept any keyword and have
three defaults that differ from their papers; see each wrapper. An optimizer is one module and a yaml in
`conf/optimizer`; a schedule is a class in `schedules`.
"""
