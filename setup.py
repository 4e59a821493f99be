"""The studies and spaces at the top of the repository travel inside the package."""

from setuptools import find_packages, setup

SHIPPED = {"scalesearch.studies": "studies", "scalesearch.search_spaces": "search_spaces"}

setup(
    packages=[*find_packages(include=["scalesearch*"]), *SHIPPED],
    package_dir=SHIPPED,
    package_data={
        "": ["*.pyi", "py.typed"],
        "scalesearch.report": ["*.j2", "*.css", "*.js"],
        "scalesearch.study": ["start/*.yaml"],
        "scalesearch.study.steps": ["*.j2"],
        "scalesearch.trials": ["*.yaml"],
        "scalesearch.weights": ["*.yaml"],
        "scalesearch.zoo": ["*.txt", "*.csv", "*.yaml"],
        **{name: ["*.yaml", "*.json"] for name in SHIPPED},
    },
)
