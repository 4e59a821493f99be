from .recipe import PROXIES as PROXIES, RECIPES as RECIPES, Recipe as Recipe
from .tasks import TASKS as TASKS, Score as Score, Task as Task
from .training import Place as Place, Training as Training
