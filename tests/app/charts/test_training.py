import json

from app.charts.runs import epoch_table, loss_chart, quality_chart, smoothed


def epoch(number, loss, hr):
    valid = {"HR@10": hr, "NDCG@10": hr / 2}
    return {"event": "epoch", "epoch": number, "loss": loss, "valid": valid, "seconds": 2.0, "at": number}


EVENTS = [{"event": "other"}, epoch(1, 3.0, 1.5), epoch(2, 2.0, 4.5), epoch(3, 1.0, 4.0)]


def test_a_run_resumed_counts_an_epoch_once():
    table = epoch_table([*EVENTS, epoch(3, 0.9, 4.2)])
    assert table["epoch"].to_list() == [1, 2, 3]
    assert table["loss"].to_list() == [3.0, 2.0, 0.9]


def test_events_of_an_older_version_lack_the_time():
    old = {key: value for key, value in epoch(1, 3.0, 1.5).items() if key != "at"}
    assert epoch_table([old])["at"].to_list() == [None]


def test_curves_and_the_best_epoch():
    runs = {"one": epoch_table(EVENTS), "two": epoch_table(EVENTS[:2])}
    loss = loss_chart(runs)
    assert [list(trace.y) for trace in loss.data] == [[3.0, 2.0, 1.0], [3.0]]
    assert loss.layout.showlegend
    quality = quality_chart({"one": runs["one"]}, theme="dark")
    line, best = quality.data
    assert list(line.y) == [1.5, 4.5, 4.0]
    assert (best.x, best.y) == ((2,), (4.5,))
    assert not quality.layout.showlegend


def test_marks_are_round_numbers():
    table = epoch_table([epoch(number, 1.0, 1.0) for number in range(1, 41)])
    assert loss_chart({"one": table}).layout.xaxis.dtick == 5
    assert loss_chart({"one": table.head(8)}).layout.xaxis.dtick == 1


def test_a_run_without_an_epoch_has_an_empty_chart():
    figure = quality_chart({"one": epoch_table([])})
    assert [len(trace.x) for trace in figure.data] == [0]
    json.loads(figure.to_json())


def test_smoothing_keeps_the_first_epoch_and_quiets_the_rest():
    table = epoch_table(EVENTS)
    assert smoothed(table, 0.0) is table
    half = smoothed(table, 0.5)
    assert half["loss"][0] == 3.0
    assert half["loss"][1] == (0.5 * 3.0 + 2.0) / 1.5
    assert half["epoch"].to_list() == table["epoch"].to_list()
    assert loss_chart({"one": table}, log=True).layout.yaxis.type == "log"
