from .pictures import (
    Normalisation as Normalisation,
    resize_images as resize_images,
    values_per_channel as values_per_channel,
)
from .samples import hardest_images as hardest_images, training_batch as training_batch
from .timing import seconds_per_image as seconds_per_image
from .training import Training as Training
