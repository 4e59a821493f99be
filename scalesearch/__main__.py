from scalesearch.cli import main

main(prog_name="scalesearch")
