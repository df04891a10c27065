"""TensorFlow Transform's `preprocessing_fn` for images; fit to be TFX Transform's `module_file`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

# Rec. 601 luma, as JPEG and Pillow have it; the weights sum to one, so grey stays what it is.
_LUMA = (0.299, 0.587, 0.114)

# Pixels of images that are decoded together before they are resized.
_TOGETHER = float(1 << 23)

# Id of a label that is none of the classes.
UNKNOWN = -1


def preprocessing_fn(
    inputs: Mapping[str, tf.Tensor], custom_config: Mapping[str, Any]
) -> dict[str, tf.Tensor]:
    """Decodes images, brings them to one shape and scales them; turns labels into ids.

    Nothing is learnt from the data: the classes are those that ingestion found, in their order.

    Args:
        inputs: `image`, string [B], PNG or JPEG files; `label`, string [B]; `example_id`,
            string [B], passed through.
        custom_config: `height`, `width` and `channels` (1 or 3) of the result; `labels`, the
            names of the classes in the order of their ids.

    Returns:
        `example_id`, string [B]; `image`, float32 [B, height, width, channels] of -1..1; `label`,
        int64 [B], -1 where it is none of the classes.
    """
    shape = tuple(int(custom_config[name]) for name in ("height", "width", "channels"))
    return {
        "example_id": inputs["example_id"],
        "image": decode_images(inputs["image"], (shape[0], shape[1], shape[2])),
        "label": label_ids(inputs["label"], list(custom_config["labels"])),
    }


def label_ids(label: tf.Tensor, names: Sequence[str]) -> tf.Tensor:
    """Places of labels among names.

    Args:
        label: string [B].
        names: of the classes.

    Returns:
        int64 [B], -1 where there is no such name.
    """
    same = tf.equal(label[:, tf.newaxis], tf.constant(list(names), tf.string)[tf.newaxis, :])
    place = tf.argmax(same, axis=1, output_type=tf.int64)
    return tf.where(tf.reduce_any(same, axis=1), place, tf.constant(UNKNOWN, tf.int64))


def decode_images(files: tf.Tensor, shape: tuple[int, int, int]) -> tf.Tensor:
    """Decodes PNG and JPEG files of any size and kind.

    What is transparent is laid on white. Images are stretched to the shape by a triangle filter
    that is as wide as the shrinking demands, so that fine structure does not alias.

    Args:
        files: string [B].
        shape: height, width and channels (1 or 3) of the result.

    Returns:
        float32 [B, height, width, channels] of -1..1.
    """
    jpeg = tf.equal(tf.strings.substr(files, 0, 3), b"\xff\xd8\xff")
    # A PNG's kind of colour stands in byte 25, and a chunk tRNS makes some of it transparent.
    kind = tf.strings.substr(tf.strings.join([files, b"\0" * 26]), 25, 1)
    clear = tf.equal(kind, b"\4") | tf.equal(kind, b"\6")
    clear |= tf.strings.regex_full_match(files, rb"\C*tRNS\C*")
    plain = tf.logical_not(clear) & (tf.equal(kind, b"\0") if shape[2] == 1 else True)
    # Each kind in a loop of its own: branches inside one loop would cost more than the decoding.
    groups = (
        (tf.logical_not(jpeg) & plain, _decode_plain_png),
        (tf.logical_not(jpeg) & tf.logical_not(plain), _decode_png),
        (jpeg, _decode_jpeg),
    )
    parts = [_map(tf.boolean_mask(files, mask), decode, shape) for mask, decode in groups]
    rows = tf.range(tf.shape(files)[0])
    places = [tf.boolean_mask(rows, mask) for mask, _ in groups]
    levels = tf.ensure_shape(tf.dynamic_stitch(places, parts), [None, *shape])
    return tf.clip_by_value(levels / 127.5 - 1.0, -1.0, 1.0)


_Decode = Callable[[tf.Tensor, int], tf.Tensor]


def _map(files: tf.Tensor, decode: _Decode, shape: tuple[int, int, int]) -> tf.Tensor:
    """Decodes and resizes each file [N] to float32 [N, height, width, channels] of 0..255."""
    height, width, channels = shape

    def resized(pixels: tf.Tensor) -> tf.Tensor:
        # What tf.image.resize calls with antialias=True, without what it does around it.
        found = tf.cast(tf.shape(pixels)[1:3], tf.float32)
        return tf.raw_ops.ScaleAndTranslate(
            images=pixels,
            size=[height, width],
            scale=tf.constant([height, width], tf.float32) / found,
            translation=[0.0, 0.0],
            kernel_type="triangle",
            antialias=True,
        )

    def one_by_one() -> tf.Tensor:
        one = tf.TensorSpec([height, width, channels], tf.float32)
        return tf.map_fn(
            lambda data: tf.ensure_shape(resized(decode(data, channels)[tf.newaxis])[0], one.shape),
            files,
            fn_output_signature=one,
        )

    def together() -> tf.Tensor:
        kind = tf.float32 if decode is _decode_png else tf.uint8
        pixels = tf.map_fn(
            lambda data: decode(data, channels),
            files,
            fn_output_signature=tf.TensorSpec([None, None, channels], kind),
        )
        return tf.ensure_shape(resized(pixels), [None, height, width, channels])

    if decode is _decode_jpeg:
        return one_by_one()
    # Resizing small images one at a time takes three times as long as decoding them.
    return tf.cond(_same_size(files), together, one_by_one)


def _same_size(files: tf.Tensor) -> tf.Tensor:
    """Whether PNG files are all of one size, and few enough to be in memory together."""
    headers = tf.strings.substr(tf.strings.join([files, b"\0" * 26]), 16, 8)
    sizes = tf.reshape(tf.io.decode_raw(headers, tf.int32, little_endian=False), [-1, 2])
    sizes = tf.cast(sizes, tf.float32)
    alike = tf.reduce_all(tf.equal(sizes, sizes[:1]))
    return alike & (tf.size(files) > 0) & (tf.reduce_sum(tf.reduce_prod(sizes, 1)) <= _TOGETHER)


def _decode_plain_png(data: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes a PNG without transparency, for one channel a grey one, to uint8 as it is."""
    return tf.io.decode_png(data, channels=channels)


def _decode_jpeg(data: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes a JPEG to uint8; its own first channel is the luma."""
    return tf.io.decode_jpeg(data, channels=channels, dct_method="INTEGER_ACCURATE")


def _decode_png(data: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes any PNG to float32 [height, width, channels] of 0..255, on white."""
    pixels = tf.cast(tf.io.decode_png(data, channels=4), tf.float32)
    colour, alpha = pixels[..., :3], pixels[..., 3:] / 255.0
    flat = colour * alpha + 255.0 * (1.0 - alpha)
    if channels == 3:
        return flat
    return tf.reduce_sum(flat * tf.constant(_LUMA), axis=-1, keepdims=True)
