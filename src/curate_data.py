from tinybench.cli.commands import start

if __name__ == "__main__":
    start("curate_data")
