"""From a dataset to a trained model: strategies on a shelf, each a way to come by one ordinary Keras model."""
