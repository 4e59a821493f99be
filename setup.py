"""The studies and spaces at the top of the repository travel inside the package."""

from setuptools import find_packages, setup

SHIPPED = {"scalesearch.studies": "studies", "scalesearch.search_spaces": "search_spaces"}

setup(
    packages=[*find_packages(include=["scalesearch*"]), *SHIPPED],
    package_dir=SHIPPED,
    package_data={
        "": ["*.pyi", "py.typed"],
        "scalesearch.report": ["*.j2", "*.css", "*.js"],
        "scalesearch.zoo": ["*.txt", "*.csv"],
        "scalesearch.study": ["start/*.yaml"],
        **{name: ["*.yaml", "*.json"] for name in SHIPPED},
    },
)
