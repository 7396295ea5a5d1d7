from .configuration import Configuration as Configuration
from .configuration import Data as Data
from .configuration import Named as Named
from .configuration import plain as plain
from .reading import read as read
from .reading import read_recorded as read_recorded
