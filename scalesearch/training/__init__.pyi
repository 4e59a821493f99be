from .pictures import every_channel as every_channel, resized as resized
from .recipe import PROXIES as PROXIES, RECIPES as RECIPES, Place as Place, Recipe as Recipe
from .tasks import TASKS as TASKS, Score as Score, Task as Task, shown_score as shown_score
from .training import Training as Training
