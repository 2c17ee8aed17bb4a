def measure_runner(rows):
    return {}
