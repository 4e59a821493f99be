from .pictures import resize_images as resize_images, values_per_channel as values_per_channel
from .training import Training as Training
