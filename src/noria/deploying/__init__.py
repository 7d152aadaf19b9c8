"""Room: a bundle, or a folder of versions -> the files that build, run and scale its server elsewhere.

The files are templates in `templates/`, at the paths that they will have. Whatever a template writes was either made
safe in `plan` (names, image, numbers) or goes through a filter of `rendering` (the path of the models).
"""
