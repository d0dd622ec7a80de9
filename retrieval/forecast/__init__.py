"""A tumour seen twice: its rates, and what is to be expected on later days."""

from .follow_up import FollowUp, Ranges, Scan
from .forecast import Forecast, forecast
from .request import ForecastRequest, run_forecast

__all__ = ["FollowUp", "Forecast", "ForecastRequest", "Ranges", "Scan", "forecast", "run_forecast"]
