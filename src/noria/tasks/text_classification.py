"""One text in, one of several labels out."""

TITLE = "text classification"
READERS = ("text_table", "text_folder")
INPUT = "text"
ANSWER = "labels"
SIMILARITY = "text"
SUSPICIONS = ()
AUGMENT = "none"
METRICS = "classification"
MODEL = "ngrams"
