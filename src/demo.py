from tinybench.cli.commands import start

if __name__ == "__main__":
    start("demo")
