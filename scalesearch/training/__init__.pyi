from .pictures import resize_images as resize_images, values_per_channel as values_per_channel
from .timing import seconds_per_image as seconds_per_image
from .training import Training as Training
