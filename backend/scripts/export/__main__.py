"""Makes every export again: `PYTHONHASHSEED=0 python -m scripts.export`."""

from . import boosted, columns, example_wine, scikit, torch_digits

scikit.main()
columns.main()
boosted.main()
torch_digits.main()
example_wine.main()
