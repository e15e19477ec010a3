"""The files the gate works with, which may change while the proxy runs: resource map and edge secrets."""

import asyncio
import logging

from phoebe_addon.gate.edge_secrets import EdgeSecrets, EdgeSecretsError
from phoebe_addon.gate.upstreams import Upstreams, UpstreamsError
from phoebe_addon.settings.edge_secrets_file import EdgeSecretsFile
from phoebe_addon.settings.upstreams_file import UpstreamsFile

logger = logging.getLogger(__name__)

_REFRESH_S = 1.0


class FollowedFiles:
    """What the files say now."""

    def __init__(self) -> None:
        self._upstreams: Upstreams | UpstreamsFile = Upstreams({})
        self._edge_secrets: EdgeSecretsFile | None = None

    @property
    def upstreams(self) -> Upstreams:
        """The model servers of the resources."""
        return self._upstreams.upstreams if isinstance(self._upstreams, UpstreamsFile) else self._upstreams

    @property
    def edge_secrets(self) -> EdgeSecrets:
        """The secrets of which the edge must show one; none if there is no file."""
        return self._edge_secrets.secrets if self._edge_secrets else EdgeSecrets()

    def use(self, upstreams: Upstreams | UpstreamsFile, edge_secrets: EdgeSecretsFile | None) -> None:
        """Take others, and say what the operator should mend in them."""
        self._upstreams, self._edge_secrets = upstreams, edge_secrets
        self._warn_of_upstreams()
        self._warn_of_edge_secrets()

    async def keep_fresh(self) -> None:
        """Notice changes until cancelled. What can't be used is reported, and what was in use stays."""
        while True:
            await asyncio.sleep(_REFRESH_S)
            await self._refresh_upstreams()
            await self._refresh_edge_secrets()

    async def _refresh_upstreams(self) -> None:
        if not isinstance(self._upstreams, UpstreamsFile):
            return
        try:
            if await asyncio.to_thread(self._upstreams.refresh):
                logger.info("phoebe: the resource map was read again")
                self._warn_of_upstreams()
        except UpstreamsError as error:
            logger.error("phoebe: the resource map in use stays: %s", error)

    async def _refresh_edge_secrets(self) -> None:
        if self._edge_secrets is None:
            return
        try:
            if await asyncio.to_thread(self._edge_secrets.refresh):
                logger.info("phoebe: the edge's secrets were read again")
                self._warn_of_edge_secrets()
        except EdgeSecretsError as error:
            logger.error("phoebe: the edge's secrets in use stay: %s", error)

    def _warn_of_upstreams(self) -> None:
        for warning in self.upstreams.warnings:
            logger.warning("phoebe: %s", warning)

    def _warn_of_edge_secrets(self) -> None:
        for warning in self._edge_secrets.warnings if self._edge_secrets else ():
            logger.warning("phoebe: %s", warning)
