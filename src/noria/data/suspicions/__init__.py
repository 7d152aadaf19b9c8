"""What in a dataset a person should look at: one file a question, each from plain arrays and examples to findings."""
