from .recipe import PROXIES as PROXIES, RECIPES as RECIPES, Recipe as Recipe
from .tasks import Score as Score, TASKS as TASKS, Task as Task
from .training import Place as Place, Training as Training
