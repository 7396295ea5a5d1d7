"""What is known before training: the guards' base class, the rehearsal on fake tensors, its costs and its report.

Imports training and the rooms below. Add here what guards ask for; the guards themselves are in handlers/guards/.
"""
