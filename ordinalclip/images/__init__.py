"""What an image is: decoding, geometry and preprocessing, crops, and the cache of decoded images.

Imports `system` and `errors`. Training, prediction and exports all read images here.
A new image format is added in `decoding`.
"""
