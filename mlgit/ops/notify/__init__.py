"""Telling people and programs of failures: one event, sent to the places that this machine's configuration names.

Import from the modules: `event` (what is told) and `send` (telling it). A notification is a courtesy: it never decides
anything, and its failure never changes what a command answers.
"""
