"""One picture in, one of several labels out."""

TITLE = "image classification"
READERS = ("image_folder", "manifest")
INPUT = "image"
ANSWER = "labels"
SIMILARITY = "image"
SUSPICIONS = ("quality", "shortcuts", "outliers", "names")
AUGMENT = "image"
METRICS = "classification"
MODEL = "efficientnet_lite0"
