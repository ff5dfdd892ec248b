"""What runs by itself: the checks behind Git's hooks, and the report on a pull request.

Import from the modules; nothing is imported here, so that a hook which has nothing to say ends at once.
"""
