from .pictures import every_channel as every_channel, resized as resized
from .training import Training as Training
