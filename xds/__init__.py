"""xDS: typed resources, snapshots, sessions and the ADS server."""

if __name__ == "xds":
    # The repository root is on sys.path and this folder hides the `xds` package
    # that the xds-protos distribution installs. Step aside: here we are only ever
    # `meltemi.xds`.
    from pkgutil import extend_path

    __path__ = [entry for entry in extend_path(__path__, __name__) if entry not in __path__]
