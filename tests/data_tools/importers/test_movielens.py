import polars as pl
import pytest

from data_tools.importers import IMPORTERS
from data_tools.importers.request import ImportRequest
from data_tools.statistics import statistics
from iisan_core.errors import RefusedError

MOVIES_CSV = "movieId,title,genres\n1,Toy Story (1995),Animation|Children\n"
MOVIES_CSV += '2,"Heat, The ""old"" one",(no genres listed)\n'
RATINGS_CSV = "userId,movieId,rating,timestamp\n7,2,4.0,964982703\n7,1,3.5,964982700\n8,1,5,964982703\n"
MOVIES_DAT = "1::Toy Story (1995)::Animation|Children's\n2::Misérables, Les (1995)::Drama\n"
RATINGS_DAT = "7::2::4::978300760\n7::1::3::978300700\n8::1::5::978300760\n"


def test_csv_files(write, imported):
    dataset = imported("movielens", write("movies.csv", MOVIES_CSV), write("ratings.csv", RATINGS_CSV))
    assert dataset.name == "source"
    assert dataset.items.rows() == [
        ("1", "Toy Story (1995)", None, "Animation, Children"),
        ("2", 'Heat, The "old" one', None, None),
    ]
    assert dataset.interactions.rows() == [("7", "1", 964982700), ("7", "2", 964982703), ("8", "1", 964982703)]
    assert dataset.text_columns == ["title", "genres"]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_dat_files_of_1m_and_of_10m(write, imported, encoding):
    movies = write("movies.dat", MOVIES_DAT.encode(encoding))
    dataset = imported("movielens", movies, write("ratings.dat", RATINGS_DAT + "\n"))
    assert dataset.items["title"].to_list() == ["Toy Story (1995)", "Misérables, Les (1995)"]
    assert dataset.items["genres"].to_list() == ["Animation, Children's", "Drama"]
    assert dataset.interactions["item_id"].to_list() == ["1", "2", "1"]


def test_posters_by_movie_id(write, imported, jpeg):
    poster = write("posters/2.jpg", jpeg)
    dataset = imported(
        "movielens", write("movies.csv", MOVIES_CSV), write("ratings.csv", RATINGS_CSV), images=poster.parent
    )
    assert dataset.items["image"].to_list() == [None, "images/2.jpg"]


def test_low_ratings_are_dropped_and_counted(write, imported):
    files = write("movies.csv", MOVIES_CSV), write("ratings.csv", RATINGS_CSV)
    dataset = imported("movielens", *files, min_rating=4)
    assert dataset.interactions.rows() == [("7", "2", 964982703), ("8", "1", 964982703)]
    assert dataset.card.dropped["interactions_below_min_rating"] == 1
    with pytest.raises(RefusedError, match=r"none of 3 ratings is 6 or more; lower --min-rating"):
        imported("movielens", *files, min_rating=6)


@pytest.mark.parametrize(
    ("movies", "ratings", "match"),
    [
        (MOVIES_CSV, RATINGS_CSV.replace(",", ";"), r"ratings.csv, line 1: the columns are .*check the separator"),
        (MOVIES_CSV.replace(",", "\t"), RATINGS_CSV, r"movies.csv, line 1: the columns are .*\['movieId', 'title'"),
        (MOVIES_CSV, RATINGS_CSV.replace("timestamp", "time"), r"line 1: .*, \['timestamp'\] not among them"),
        (MOVIES_CSV, RATINGS_CSV + "8;1;5;964982703\n", r"ratings.csv, line 5: the movieId None is empty"),
        (MOVIES_CSV, RATINGS_CSV + "8,1,5,964982703,9\n", r"ratings.csv, line 5: 5 fields, expected 4 .*quotes"),
        (MOVIES_CSV, RATINGS_CSV + "8,1,5,-1\n", r"line 5: the timestamp '-1' is no time between 1990 and 2100 in sec"),
        (MOVIES_CSV, RATINGS_CSV + "8,1,5,978300760000\n", r"line 5: the timestamp '978300760000' is no time"),
        (MOVIES_CSV, RATINGS_CSV + "8,1,5,yesterday\n", r"line 5: the timestamp 'yesterday' is no time"),
        (MOVIES_CSV, RATINGS_CSV + '8,"1\t2",5,964982703\n', r"line 5: the movieId '1\\t2' holds a tab"),
        (MOVIES_CSV, RATINGS_CSV + " ,1,5,964982703\n", r"line 5: the userId ' ' is empty; every record needs one"),
        (MOVIES_CSV + "3,Caf\xe9,Drama\n", RATINGS_CSV, r"movies.csv, line 4: byte 0xe9 is not UTF-8; save"),
        (MOVIES_CSV + '3,"Open,Drama\n', RATINGS_CSV, r"movies.csv, line 4: the record .* no valid CSV"),
        (MOVIES_CSV + "1,Other,Drama\n", RATINGS_CSV, r"movies.csv: item id '1' has conflicting rows: line 2 .*line 4"),
        ("", RATINGS_CSV, r"movies.csv is empty; the movie file needs a header"),
    ],
)
def test_broken_csv_files_are_refused(write, imported, tmp_path, movies, ratings, match):
    with pytest.raises(RefusedError, match=match):
        imported("movielens", write("movies.csv", movies.encode("latin-1")), write("ratings.csv", ratings))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("movies", "ratings", "match"),
    [
        (MOVIES_DAT, RATINGS_DAT.replace("::", ","), r"ratings.dat, line 1: 1 `::`-separated field, expected 4"),
        (MOVIES_DAT, "\n" + RATINGS_DAT + "8::1::5\n", r"ratings.dat, line 5: 3 `::`-separated fields, expected 4"),
        (MOVIES_DAT, "\n" + RATINGS_DAT + "8::1::5::0\n", r"ratings.dat, line 5: the timestamp '0' is no time"),
        (MOVIES_DAT, RATINGS_DAT + "8::1\t::5::978300760\n", r"ratings.dat, line 4: the movieId '1\\t' holds a tab"),
        (MOVIES_DAT.replace("::", "\t"), RATINGS_DAT, r"movies.dat, line 1: .*separate the fields by `::`"),
    ],
)
def test_broken_dat_files_are_refused(write, imported, movies, ratings, match):
    with pytest.raises(RefusedError, match=match):
        imported("movielens", write("movies.dat", movies), write("ratings.dat", ratings))


def test_a_rating_that_is_none_is_refused_where_ratings_count(write, imported):
    files = write("movies.csv", MOVIES_CSV), write("ratings.csv", RATINGS_CSV + "8,1,good,964982703\n")
    with pytest.raises(RefusedError, match=r"ratings.csv, line 5: the rating 'good' is no number"):
        imported("movielens", *files, min_rating=4)


def test_lines_are_right_behind_fields_over_several_lines(write, imported):
    movies = write("movies.csv", MOVIES_CSV + '\n3,"two\nlines",Drama\n,x,Drama\n')
    with pytest.raises(RefusedError, match=r"movies.csv, line 7: the movieId None is empty"):
        imported("movielens", movies, write("ratings.csv", RATINGS_CSV))


def test_real_latest_small_has_the_published_counts(data_folder, tmp_path):
    folder = data_folder / "movielens-latest-small"
    request = ImportRequest(
        items=folder / "movies.csv",
        interactions=folder / "ratings.csv",
        images=data_folder / "movielens-1m" / "images",
        out=tmp_path / "out",
    )
    dataset = IMPORTERS["movielens"](request)
    found = statistics(dataset)
    assert (found.users, found.items, found.interactions) == (610, 9_742, 100_836)
    assert found.items_with_interactions == 9_724
    log = dataset.interactions
    neighbours = log.filter(pl.col("user_id") == pl.col("user_id").shift())
    ties = log.filter((pl.col("user_id") == pl.col("user_id").shift()) & (pl.col("timestamp").diff() == 0))
    assert ties.height / neighbours.height == pytest.approx(0.158, abs=0.0005)
    assert 0 < dataset.card.counts["images"] <= 2_949
    assert dataset.card.reported["items_without_image"] == 9_742 - dataset.card.counts["images"]


def test_real_samples_of_1m(data_folder, tmp_path):
    folder = data_folder / "samples"
    movies, ratings = folder / "movielens-movies.dat", folder / "movielens-ratings.dat"
    dataset = IMPORTERS["movielens"](ImportRequest(items=movies, interactions=ratings, out=tmp_path / "out"))
    assert dataset.items.height == 300
    assert dataset.items.row(0) == ("1", "Toy Story (1995)", None, "Animation, Children's, Comedy")
    assert dataset.interactions.height + dataset.card.dropped["interactions_of_unknown_items"] == 2_000
