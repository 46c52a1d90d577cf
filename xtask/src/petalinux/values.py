# SPDX-License-Identifier: MIT OR Apache-2.0
"""Writes variables of recipes as BitBake has them in the end: values.py WANTED FILE

WANTED is an object in JSON of recipes, each with a list of variables; FILE gets the same with values.
One process asks for all, because `bitbake -e` may parse every recipe again for each.
"""
import json
import sys

import bb.tinfoil

wanted = json.loads(sys.argv[1])
with bb.tinfoil.Tinfoil() as tinfoil:
    tinfoil.prepare(quiet=2)
    found = {}
    for recipe, variables in wanted.items():
        data = tinfoil.parse_recipe(recipe)
        found[recipe] = {name: data.getVar(name) for name in variables}
with open(sys.argv[2], "w") as out:
    json.dump(found, out)
