"""From a bundle and inputs to answers, without TensorFlow unless a runtime that needs it is named."""
