from .follow_up import FollowUp, Ranges, Scan
from .model import Forecast, forecast_growth
from .request import ForecastRequest, run_forecast

__all__ = ["FollowUp", "Forecast", "ForecastRequest", "Ranges", "Scan", "forecast_growth", "run_forecast"]
