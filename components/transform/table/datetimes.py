"""Reads and writes ISO 8601 times with stock TensorFlow ops."""

from __future__ import annotations

import tensorflow as tf

_TIME = (
    r"(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,6}))?)?)?"
    r"(?:[Zz]|([+-]\d\d:?\d\d))?"
)
_SECOND = 1_000_000
_DAY = 86_400 * _SECOND
# Days from 0000-03-01, where the reckoning starts, to 1970-01-01.
_EPOCH = 719_468


def parse(text: tf.Tensor) -> tf.Tensor:
    """Reads times; without a zone they are UTC.

    Args:
        text: string [B], such as '2013-01-31', '2013-01-31T10:00:00Z', '2013-01-31 10:00+01:00'.

    Returns:
        int64 [B], microseconds since 1970, UTC.

    Raises:
        tf.errors.InvalidArgumentError: one is no time.
    """
    text = tf.strings.strip(text)
    valid = tf.strings.regex_full_match(text, _TIME)

    def group(number: int) -> tf.Tensor:
        return tf.strings.regex_replace(text, f"^{_TIME}$", f"\\{number}")

    def number(digits: tf.Tensor) -> tf.Tensor:
        return tf.strings.to_number(tf.where(valid & (digits != ""), digits, "0"), tf.int64)

    year, month, day, hour, minute, second = (number(group(place)) for place in range(1, 7))
    micros = number(tf.strings.substr(tf.strings.join([group(7), "000000"]), 0, 6))
    zone = tf.strings.regex_replace(group(8), ":", "")
    zone = tf.where(valid & (zone != ""), zone, "+0000")
    parts = [tf.strings.substr(zone, start, 2) for start in (1, 3)]
    offset = number(parts[0]) * 60 + number(parts[1])
    offset = tf.where(tf.strings.substr(zone, 0, 1) == "-", -offset, offset)
    # A month has no day that comes back as another one, such as February 30.
    days = _days(year, month, day)
    in_range = (month >= 1) & (month <= 12) & (_civil(days)[2] == day) & (hour < 24) & (minute < 60)
    wrong = tf.boolean_mask(text, ~(valid & in_range))
    first = tf.strings.reduce_join(wrong[:1])
    message = tf.strings.join(["expected ISO 8601 times. Received: '", first, "'"])
    with tf.control_dependencies([tf.debugging.Assert(tf.size(wrong) == 0, [message])]):
        minutes = days * 1440 + hour * 60 + minute - offset
        return (minutes * 60 + second) * _SECOND + micros


def write(micros: tf.Tensor, dtype: str, decimals: int) -> tf.Tensor:
    """Writes times as ISO 8601.

    Args:
        micros: int64 [B], microseconds since 1970, UTC.
        dtype: Arrow's name of the type: 'date32[day]' is written without the time of day, and
            one with a zone with a Z.
        decimals: digits of the fraction of the second.

    Returns:
        string [B].
    """
    days = micros // _DAY
    rest = micros - days * _DAY
    year, month, day = _civil(days)
    date = tf.strings.join([_digits(year, 4), _digits(month), _digits(day)], "-")
    if dtype.startswith("date32"):
        return date
    seconds = rest // _SECOND
    parts = [_digits(seconds // 3600), _digits(seconds // 60 % 60), _digits(seconds % 60)]
    pieces = [date, "T", tf.strings.join(parts, ":")]
    if decimals:
        fraction = rest % _SECOND // 10 ** (6 - decimals)
        pieces += [".", _digits(fraction, decimals)]
    return tf.strings.join([*pieces, "Z" if "tz=" in dtype else ""])


def _digits(number: tf.Tensor, width: int = 2) -> tf.Tensor:
    return tf.strings.as_string(number, width=width, fill="0")


def _days(year: tf.Tensor, month: tf.Tensor, day: tf.Tensor) -> tf.Tensor:
    """Days since 1970 of a Gregorian date; a year begins in March, so that leap days end it."""
    year = year - tf.cast(month <= 2, tf.int64)
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - _EPOCH


def _civil(days: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Year, month and day of days since 1970."""
    days = days + _EPOCH
    era = days // 146_097
    of_era = days - era * 146_097
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    shifted = (5 * of_year + 2) // 153
    day = of_year - (153 * shifted + 2) // 5 + 1
    month = (shifted + 2) % 12 + 1
    return year + era * 400 + tf.cast(month <= 2, tf.int64), month, day
