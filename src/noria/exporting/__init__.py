"""From a run to a bundle: one model in several file formats, each proven to answer like the Keras model."""
