from pathlib import Path

import pytest

from dataset.acquisition.tennis.annotations import Clip, read_clips, read_splits
from utils.command import UserError

CLIP_HEADER = "index,original_filename,begin_frame,end_frame,top,left,bottom,right\n"


def table(folder: Path, text: str) -> Path:
    file = folder / "table.csv"
    file.write_text(text, encoding="utf-8")
    return file


def test_clips_are_numbered_by_segment_and_then_by_first_frame(tmp_path: Path) -> None:
    rows = ["0,b.mp4,7,9,1,2,3,4", "1,a.mp4,100,101,5,6,7,8", "2,a.mp4,20,20,0,0,1,1"]
    assert read_clips(table(tmp_path, CLIP_HEADER + "\n".join(rows))) == [
        Clip("a.mp4", 20, 20, (0, 0, 1, 1), number=0),
        Clip("a.mp4", 100, 101, (6, 5, 8, 7), number=1),
        Clip("b.mp4", 7, 9, (2, 1, 4, 3), number=2),
    ]


def test_columns_are_found_by_name_and_others_are_ignored(tmp_path: Path) -> None:
    text = "\ufeffright,bottom,left,top,end_frame,begin_frame,original_filename,comment\r\n4,3,2,1,9,7,b.mp4,good\r\n"
    assert read_clips(table(tmp_path, text)) == [Clip("b.mp4", 7, 9, (2, 1, 4, 3))]


def test_only_the_last_part_of_a_file_name_counts(tmp_path: Path) -> None:
    assert read_clips(table(tmp_path, f"{CLIP_HEADER}0,../../etc/b.mp4,7,9,1,2,3,4"))[0].segment == "b.mp4"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("0,a.mp4,9,7,1,2,3,4", "line 2: no clip lasts from frame 9 to 7; correct it"),
        ("0,a.mp4,-1,7,1,2,3,4", "line 2: no clip lasts from frame -1 to 7; correct it"),
        ("0,a.mp4,0,7,1,4,3,4", "line 2: no box has the left 4, top 1, right 4 and bottom 3; correct it"),
        ("0,a.mp4,0,7,3,2,3,4", "line 2: no box has the left 2, top 3, right 4 and bottom 3; correct it"),
        ("0,a.mp4,0,7,1,2,3,4\n1,a.mp4,zero,7,1,2,3,4", "line 3: invalid literal for int"),
        ("0,a.mp4,0", "line 2: int"),
        ("", "has no rows; put the table itself there"),
    ],
)
def test_an_impossible_clip_is_refused(row: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        read_clips(table(tmp_path, CLIP_HEADER + row))


@pytest.mark.parametrize("text", ["", "<html>\n<body>annotations.csv</body>"])
def test_a_page_is_no_table(text: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"table\.csv: has no column sequence, split; put the table itself there"):
        read_splits(table(tmp_path, text))


def test_splits_keep_the_order_of_the_file(tmp_path: Path) -> None:
    text = "sequence,split\n00004,train\n3,test\n00000,train\n1,validation\n2,validation\n"
    assert read_splits(table(tmp_path, text)) == {"train": [4, 0], "val": [1, 2], "test": [3]}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("0,train\n1,dev", "line 3: 'dev' is none of the splits train, validation, test; correct it"),
        ("0,train\nx,test", "line 3: invalid literal for int"),
        ("0,train\n00000,test", "names sequence 0 twice; keep one of the rows"),
    ],
)
def test_an_impossible_split_is_refused(rows: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        read_splits(table(tmp_path, f"sequence,split\n{rows}\n"))


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_bytes(b"\x89PNG\xff\xfe\x00")
    with pytest.raises(UserError, match=r"table\.csv: cannot be read"):
        read_clips(file)
