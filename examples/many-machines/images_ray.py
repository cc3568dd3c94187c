"""A million images by the machines of a Ray cluster, into a WebDataset: python images_ray.py g.onnx images"""

import argparse

import ray

import gantool

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("engine", help="at the same path on every machine")
parser.add_argument("folder", help="of the tars: a folder that all machines share, or s3://bucket/folder")
parser.add_argument("--count", type=int, default=1_000_000)
parser.add_argument("--actors", type=int, default=1)
parser.add_argument("--gpus", type=float, default=0, help="of each actor")
given = parser.parse_args()

ray.init()  # joins the cluster that RAY_ADDRESS names, or else starts one on this machine
options = gantool.ray.Options(actors=given.actors, gpus=given.gpus, format="png")
dataset = gantool.ray.images(given.engine, range(given.count), options)
dataset.write_webdataset(given.folder, encoder=gantool.ray.sample, min_rows_per_file=10_000)
