"""Shelf: the only place where bytes become arrays, in training and in production (twinned in `exporting/graphs`).

A member offers
- `NOUN`, what one input is called, and many; `STANDARD_INPUT`: "lines" where each line is an input, else "files";
  `AT_ONCE`, how many a thread is handed at once, for an input that is read in microseconds;
- `INPUT_NAME`, `ARRAY_NAME`, `ARRAY_DTYPE`, `array_shape(settings)`: the tensors of a served model, as raw bytes and as
  what the input reads; `MEDIA_TYPE`: how the types of inputs begin that are sent as they are;
- `pixels(data)`: how many pixels its header says that there are to decode; 0 for what has none;
- `Settings`, how an input is read; they travel in every run and bundle;
- `inspect(data, settings) -> facts` with `content_sha256`, or UnreadableInputError: the validator at every door;
- `learn(examples, settings) -> {file name: content}`: what is learnt from training inputs, e.g. a vocabulary; it
  travels in the folder `input` of every run and bundle;
- `open_reader(settings, files) -> (bytes -> array)`, for several threads at once;
- `open_batch_reader(settings, files) -> (list of bytes -> list)`: the same for a few inputs at once, an
  UnreadableInputError in the place of what is refused;
- `preview(data)`: JPEG bytes, or text, for a person; `close_up(data)`: the same, large enough to judge it by; and
- `variants(data)`: the same input stored in other ways, which every decoder must read alike.

A member whose answers can be traced to words also offers
- `open_parts(settings, files) -> (bytes -> Parts)`: where the words of an input are, and the features they are part of;
- `open_bulk_reader(settings, files)` and `feature_names(files, features)`, for the words that speak for a label.
"""
