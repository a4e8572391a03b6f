"""What a run of ordinary.sh told, as a table of Markdown: how often each action was of each severity, and
which programs did it most.

    ordinary.py EVENTS SECONDS ROUNDS
"""
import collections
import json
import sys

SEVERITIES = {1: "info", 21: "low", 47: "medium", 73: "high", 99: "critical"}
MOST = 6


def main():
    events, seconds, rounds = sys.argv[1:]
    counts = collections.Counter()
    programs = collections.defaultdict(collections.Counter)
    with open(events, encoding="utf-8") as lines:
        for line in lines:
            event = json.loads(line)
            row = (event["bee"]["sensor"], event["event"]["action"], event["event"]["severity"])
            counts[row] += 1
            programs[row][event.get("process", {}).get("name", "–")] += 1
    print(f"{sum(counts.values())} events in {seconds} s, {rounds} rounds.\n")
    print("| sensor | action | severity | events | by |\n|---|---|---|---|---|")
    for row, count in sorted(counts.items(), key=lambda item: (item[0][0], -item[0][2], item[0][1])):
        most = programs[row].most_common(MOST)
        by = ", ".join(f"`{name}` {number}" for name, number in most)
        more = len(programs[row]) - len(most)
        by += f", {more} others" if more else ""
        print(f"| {row[0]} | `{row[1]}` | {SEVERITIES[row[2]]} | {count} | {by} |")


main()
