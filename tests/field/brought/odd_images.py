"""A folder of odd images as people bring it (own code): python odd_images.py FOLDER KIND"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

rng = np.random.RandomState(0)


def blob(n, side=64, c=3):
    y, x = np.mgrid[:side, :side]
    r = rng.rand(4)
    a = np.exp(-(((x - side * r[0]) ** 2 + (y - side * r[1]) ** 2) / (side * (2 + 10 * r[2]))))
    return np.clip(a[..., None] * (80 + 175 * rng.rand(c)), 0, 255).astype(np.uint8).squeeze()


def icon(n, side=64):
    """White glyph on transparent ground: all of its information is in alpha."""
    a = (blob(n, side, 1) > 60).astype(np.uint8) * 255
    return Image.fromarray(np.dstack([np.full((side, side, 3), 255, np.uint8), a]))


def main(out, kind, n=24):
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    if kind == "white_icons":
        for i in range(n):
            icon(i).save(out / f"{i}.png")
    elif kind == "bits12":  # thermal camera or CT: 12 bits in a 16-bit PNG
        for i in range(n):
            Image.fromarray(blob(i, 64, 1).astype(np.uint16) * 16).save(out / f"{i}.png")
    elif kind == "tiff":
        for i in range(n):
            Image.fromarray(blob(i)).save(out / f"{i}.tif")
    elif kind == "no_suffix":  # as object stores and caches name files
        for i in range(n):
            Image.fromarray(blob(i)).save(out / f"{i:032x}", "png")
    elif kind == "webdataset":
        import io
        import tarfile

        with tarfile.open(out / "shard-000000.tar", "w") as t:
            for i in range(n):
                b = io.BytesIO()
                Image.fromarray(blob(i)).save(b, "png")
                f = tarfile.TarInfo(f"{i:06d}.png")
                f.size = b.tell()
                b.seek(0)
                t.addfile(f, b)
    elif kind == "npy":
        np.save(out / "images.npy", np.stack([blob(i) for i in range(n)]))
    elif kind == "mixed":  # all at once
        for i in range(n):
            Image.fromarray(blob(i)).save(out / f"plain {i}.png")
        Image.fromarray(blob(1)).convert("CMYK").save(out / "cmyk.jpg")
        exif = Image.Exif()
        exif[274] = 6
        Image.fromarray(blob(2, 96)[:64]).save(out / "exif6.JPG", exif=exif, quality=95)
        frames = [Image.fromarray(blob(i)) for i in range(3)]
        frames[0].save(out / "animated.gif", save_all=True, append_images=frames[1:])
        frames[0].save(out / "animated.webp", save_all=True, append_images=frames[1:])
        frames[0].save(out / "animated.png", save_all=True, append_images=frames[1:])
        Image.fromarray(blob(3)).quantize(16).save(out / "palette_clear.png", transparency=0)
        Image.fromarray(blob(4)).quantize(16).save(
            out / "palette_clear_bytes.png", transparency=bytes(range(0, 256, 16))
        )
        Image.fromarray(blob(5, 64, 1)).convert("LA").save(out / "la.png")
        Image.fromarray(blob(6, 64, 1)).convert("1").save(out / "one_bit.bmp")
        Image.fromarray(blob(7, 64, 1).astype(np.uint16) * 257).save(out / "sixteen.png")
        Image.fromarray(blob(8, 300)[:40]).save(out / "panorama.png")
        Image.fromarray(blob(9, 64)).save(out / "数据_é_🙂.png")
        Image.fromarray(blob(10, 64)).save(out / "line\nbreak.png")
        sub = out / "deep" / "er"
        sub.mkdir(parents=True, exist_ok=True)
        Image.fromarray(blob(11)).save(sub / "nested.png")
        (out / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
        (out / "._plain 1.png").write_bytes(b"\0\5\26\7")
        (out / "Thumbs.db").write_bytes(b"x")
        (sub / "loop").symlink_to(out, target_is_directory=True)
        (out / "broken link.png").symlink_to("nowhere.png")
        (out / "link.png").symlink_to("plain 0.png")
        good = (out / "plain 1.png").read_bytes()
        (out / "truncated.png").write_bytes(good[: len(good) // 2])
        (out / "empty.png").write_bytes(b"")
        (out / "html.jpg").write_text("<html>403</html>")
        Image.fromarray(blob(12)).save(out / "really_webp.jpg", "webp")
        Image.new("RGB", (1, 1)).save(out / "pixel.gif")


if __name__ == "__main__":
    main(*sys.argv[1:3])
